def vae_loss(logits, x, mu, log_var):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return bce + 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum()
