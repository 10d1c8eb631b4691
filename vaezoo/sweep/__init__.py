"""Many runs: what a job of a sweep does, who starts the jobs, and how a sweep stands."""
