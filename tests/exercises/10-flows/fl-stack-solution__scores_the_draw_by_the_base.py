def draw_and_score(z, layers):
    total = 0.0
    for layer in layers:
        z, log_det = layer(z)
        total = total + log_det
    return z, Normal(0.0, 1.0).log_prob(z).sum(1) - total
