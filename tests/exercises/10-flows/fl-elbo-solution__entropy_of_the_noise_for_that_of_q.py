def flow_elbo(log_joint, f, eps):
    z, log_det = f(eps)
    entropy = eps.shape[1] * 0.5 * math.log(2 * math.pi * math.e)
    return log_joint(z).mean() + entropy
