def best_gaussian(z, log_joint):
    i = log_joint.argmax()
    step = z[1] - z[0]
    curvature = (log_joint[i - 1] - 2 * log_joint[i] + log_joint[i + 1]) / step**2
    return z[i].item(), (-1 / curvature).sqrt().item()
