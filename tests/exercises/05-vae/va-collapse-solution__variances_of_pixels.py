def predicted_rates(x, sigma, beta, latent):
    values = x.flatten(1).var(0).sort(descending=True).values[:latent].clamp(min=1e-12)
    return (0.5 * (values / (beta * sigma**2)).log()).clamp(min=0)


def alive(q, threshold=0.01):
    return q.mean.var(0) > threshold
