def best_gaussian(z, log_joint):
    return z[log_joint.argmax()].item(), 0.3
