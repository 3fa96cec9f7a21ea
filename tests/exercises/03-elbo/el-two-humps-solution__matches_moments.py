def best_gaussian(z, log_joint):
    p = log_joint.softmax(0)
    mean = (p * z).sum()
    return mean.item(), (p * (z - mean) ** 2).sum().sqrt().item()
