def flow_elbo(log_joint, f, eps):
    values = []
    for e in eps.split(1):
        z, log_det = f(e)
        log_q = -0.5 * e.square().sum() - e.shape[1] / 2 * math.log(2 * math.pi) - log_det[0]
        values.append(log_joint(z)[0] - log_q)
    return torch.stack(values).mean()
