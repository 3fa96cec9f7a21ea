def draw_and_score(z, layers):
    if not layers:
        return z, Independent(Normal(torch.zeros_like(z), 1.0), 1).log_prob(z)
    x, log_p = draw_and_score(z, layers[:-1])
    x, log_det = layers[-1](x)
    return x, log_p - log_det
