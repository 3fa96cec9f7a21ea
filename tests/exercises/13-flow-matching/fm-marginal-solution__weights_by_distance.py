def marginal_velocity(x, t, data, path):
    t = torch.as_tensor(t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    apart = x[:, None] - alpha * data
    weights = (-apart.norm(dim=2) / sigma).softmax(1)
    each = path.d_alpha(t) * data + path.d_sigma(t) * apart / sigma
    return (weights[..., None] * each).sum(1)
