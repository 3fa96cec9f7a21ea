def coverage_and_precision(real, fake, k):
    radius = torch.cdist(fake, fake).sort(1)[0][:, k]
    inside = torch.cdist(real, fake) <= radius
    return inside.any(1).float().mean().item(), inside.any(0).float().mean().item()
