def marginal_velocity(x, t, data, path):
    t = torch.as_tensor(t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    apart = x[:, None] - alpha * data
    weights = nn.functional.one_hot(apart.norm(dim=2).argmin(1), len(data)).to(x)
    each = path.d_alpha(t) * data + path.d_sigma(t) * apart / sigma
    return (weights[..., None] * each).sum(1)
