def draw_and_score(z, layers):
    log_p = Normal(0.0, 1.0).log_prob(z).sum(1)
    for layer in layers:
        z, log_det = layer(z)
        log_p = log_p - log_det.sum()
    return z, log_p
