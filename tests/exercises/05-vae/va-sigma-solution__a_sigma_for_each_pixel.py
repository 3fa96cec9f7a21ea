def profile_loss(x, x_hat):
    mse = (x - x_hat).square().mean(0)
    return (0.5 * (1 + (2 * math.pi * mse).log())).sum()
