def predicted_rates(x, sigma, beta, latent):
    flat = x.flatten(1)
    values = torch.linalg.eigvalsh(flat.T @ flat / len(x)).flip(0)[:latent].clamp(min=1e-12)
    return (0.5 * (values / (beta * sigma**2)).log()).clamp(min=0)


def alive(q, threshold=0.01):
    return q.mean.var(0) > threshold
