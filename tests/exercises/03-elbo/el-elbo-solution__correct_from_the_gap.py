def exact_elbo(x, mean, sd, w):
    u = 1 + w**2
    posterior = Normal(w * x / u, u**-0.5)
    return Normal(0.0, u**0.5).log_prob(x) - kl_divergence(Normal(mean, sd), posterior)


def monte_carlo_elbo(x, mean, sd, w, eps):
    values = []
    for noise in eps:
        z = mean + sd * noise
        log_q = -0.5 * noise**2 - torch.log(sd) - 0.5 * math.log(2 * math.pi)
        values.append(-0.5 * z**2 - 0.5 * (x - w * z) ** 2 - math.log(2 * math.pi) - log_q)
    values = torch.stack(values)
    return values.mean(0), (values.var(0) / len(eps)).sqrt()
