def coverage_and_precision(real, fake, k):
    radius = torch.cdist(real, real).sort(1)[0][:, k]
    distance = torch.cdist(real, fake)
    inside = distance <= radius[:, None]
    least, at = distance.min(0)
    return inside.any(1).float().mean().item(), (least <= radius[at]).float().mean().item()
