def draw_and_score(z, layers):
    log_p, log_det = Normal(0.0, 1.0).log_prob(z).sum(1), 0.0
    for layer in layers:
        z, log_det = layer(z)
    return z, log_p - log_det
