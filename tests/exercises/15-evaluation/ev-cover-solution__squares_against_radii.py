def coverage_and_precision(real, fake, k):
    radius = torch.cdist(real, real).sort(1)[0][:, k]
    inside = (real[:, None] - fake).square().sum(2) <= radius[:, None]
    return inside.any(1).float().mean().item(), inside.any(0).float().mean().item()
