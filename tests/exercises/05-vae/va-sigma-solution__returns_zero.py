def profile_loss(x, x_hat):
    return torch.tensor(0.0)
