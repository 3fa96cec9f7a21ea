def coverage_and_precision(real, fake, k):
    radius = torch.cdist(real, real).sort(1)[0][:, k - 1]
    inside = torch.cdist(real, fake) <= radius[:, None]
    return inside.any(1).float().mean().item(), inside.any(0).float().mean().item()
