def made_masks(D, degrees):
    ends = torch.arange(1, D + 1)
    layers = [ends, *degrees, ends]
    return [(m[:, None] > before).float() for before, m in zip(layers[:-1], layers[1:])]
