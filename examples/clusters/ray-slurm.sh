#!/bin/bash
# A study on a Ray cluster that lives inside of one Slurm job:
#   sbatch examples/clusters/ray-slurm.sh
#SBATCH --job-name=study
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=08:00:00

head=$(hostname --ip-address | cut -d ' ' -f 1):6379
# Every node of the cluster knows the same secret.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(openssl rand -hex 32)}

ray start --head --port 6379 --num-cpus "$SLURM_CPUS_PER_TASK"
srun --nodes=$((SLURM_NNODES - 1)) --exclude="$(hostname)" \
    ray start --address "$head" --num-cpus "$SLURM_CPUS_PER_TASK" --block &
sleep 20

# Two trainings share a GPU.
sensverify study run study.toml --out study --resume --workers "ray:$head(gpus=0.5)"
status=$?
ray stop
exit $status
