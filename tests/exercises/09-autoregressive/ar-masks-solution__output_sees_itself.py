def made_masks(D, degrees):
    ends = torch.arange(1, D + 1)
    layers = [ends, *degrees]
    hidden = [(m[:, None] >= before).float() for before, m in zip(layers[:-1], layers[1:])]
    last = (ends[:, None] >= layers[-1]).float()
    last[0] = 0
    return [*hidden, last]
