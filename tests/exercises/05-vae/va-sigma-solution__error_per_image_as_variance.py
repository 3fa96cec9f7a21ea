def profile_loss(x, x_hat):
    error = (x - x_hat).square().sum((2, 3)).mean(0)
    return (x[0, 0].numel() / 2 * (1 + (2 * math.pi * error).log())).sum()
