def class_probabilities(bounds, prior):
    joint = prior * (bounds - bounds.max(1, keepdim=True).values).exp()
    return joint / joint.sum(1, keepdim=True)
