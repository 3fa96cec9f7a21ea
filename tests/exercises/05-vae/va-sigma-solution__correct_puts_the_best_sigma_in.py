def profile_loss(x, x_hat):
    sigma = (x - x_hat).square().mean().sqrt()
    return -Normal(x_hat, sigma).log_prob(x).flatten(1).sum(1).mean()
