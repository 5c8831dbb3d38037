"""Arrays in, results and a verdict out: no files, no run file, no clock."""
