def predicted_rates(x, sigma, beta, latent):
    values = PCA(x.shape[1:], latent=latent).fit(x).eigenvalues[:latent]
    return (0.5 * (values.clamp(min=1e-12) / (beta * sigma**2)).log()).clamp(min=0)


def alive(q, threshold=0.01):
    centred = q.mean - q.mean.mean(0)
    return centred.square().sum(0) / (len(centred) - 1) > threshold
