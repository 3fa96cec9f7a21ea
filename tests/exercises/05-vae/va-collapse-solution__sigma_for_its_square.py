def predicted_rates(x, sigma, beta, latent):
    values = torch.linalg.eigvalsh(x.flatten(1).T.cov()).flip(0)[:latent].clamp(min=1e-12)
    return (0.5 * (values / (beta * sigma)).log()).clamp(min=0)


def alive(q, threshold=0.01):
    return q.mean.var(0) > threshold
