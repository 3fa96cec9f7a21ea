def flow_elbo(log_joint, f, eps):
    z, log_det = f(eps)
    log_q = Normal(0.0, 1.0).log_prob(eps).sum(1) + log_det
    return (log_joint(z) - log_q).mean()
