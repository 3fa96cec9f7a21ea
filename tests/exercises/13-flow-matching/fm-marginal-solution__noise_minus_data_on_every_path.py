def marginal_velocity(x, t, data, path):
    t = torch.as_tensor(t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    apart = x[:, None] - alpha * data
    weights = (-apart.square().sum(2) / (2 * sigma**2)).softmax(1)
    each = apart / sigma - data
    return (weights[..., None] * each).sum(1)
