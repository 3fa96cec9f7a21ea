def predicted_rates(x, sigma, beta, latent):
    values = PCA(x.shape[1:], latent=latent).fit(x).eigenvalues[:latent]
    return (0.5 * (values.clamp(min=1e-12) / (beta * sigma**2)).log()).clamp(min=0)


def alive(q, threshold=0.01):
    return q.sample().var(0) > threshold
