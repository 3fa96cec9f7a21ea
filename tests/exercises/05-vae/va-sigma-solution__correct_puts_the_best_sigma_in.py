def profile_loss(x, x_hat):
    sigma = (x - x_hat).square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    return -Normal(x_hat, sigma).log_prob(x).sum((1, 2, 3)).mean()
