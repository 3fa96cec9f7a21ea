def exact_elbo(x, mean, sd, w):
    squared_error = (x - w * mean) ** 2
    kl = 0.5 * (mean**2 + sd**2 - 1) - torch.log(sd)
    return -0.5 * math.log(2 * math.pi) - 0.5 * squared_error - kl


def monte_carlo_elbo(x, mean, sd, w, eps):
    z = mean + sd * eps
    values = (
        Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(x) - Normal(mean, sd).log_prob(z)
    )
    return values.mean(0), values.std(0) / math.sqrt(len(eps))
