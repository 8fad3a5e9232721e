"""What crossbars compute: the reference of the native kernels."""
