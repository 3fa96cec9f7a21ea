def draw_and_score(z, layers):
    x, log_p = z, Normal(0.0, 1.0).log_prob(z).sum(1)
    for layer in layers:
        log_p = log_p - layer(z)[1]
        x, _ = layer(x)
    return x, log_p
