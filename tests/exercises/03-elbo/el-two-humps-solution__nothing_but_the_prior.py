def best_gaussian(z, log_joint):
    return 0.0, 1.0
