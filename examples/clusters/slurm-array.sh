#!/bin/bash
# A study as an array of jobs, for Slurm:
#   sbatch examples/clusters/slurm-array.sh
# and, when all of it has ended, the report, with exit status 3 where something is missing:
#   sbatch --dependency=afterany:JOB --wrap 'sensverify study report study'
#SBATCH --job-name=study
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --requeue
# Slurm ends a job with SIGTERM a while before its time is up: trainings end with a checkpoint.
#SBATCH --signal=TERM@120

# The folder is one that all nodes see. A job that comes again goes on where it was.
exec sensverify study run study.toml --out study --resume --quiet \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
