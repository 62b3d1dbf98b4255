"""The training job, free of flags."""
