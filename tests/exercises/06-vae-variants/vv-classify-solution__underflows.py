def class_probabilities(bounds, prior):
    joint = bounds.exp() * prior
    total = joint.sum(1, keepdim=True)
    return torch.where(total > 0, joint / total, torch.full_like(joint, 1 / joint.shape[1]))
