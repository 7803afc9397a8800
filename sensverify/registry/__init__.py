"""What has a name and options: the grammar in which they are written."""
