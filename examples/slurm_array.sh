#!/bin/sh
# Deblur a folder of pairs as a Slurm array, one task a part of the work:
#
#     PAIRS=/shared/pairs TARGET=/shared/sharp sbatch examples/slurm_array.sh
#
# A task that is lost, or runs out of time, is queued again and goes on where it was. Change the number of tasks in
# --array alone: it may begin anywhere, and parts are counted from 1.
#SBATCH --job-name=dualpix
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -eu
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
exec dualpix deblur "$PAIRS" -o "$TARGET" --shard "$part/$SLURM_ARRAY_TASK_COUNT" --resume \
    --json "$TARGET.report-$part.jsonl" ${DUALPIX_MORE:-}
