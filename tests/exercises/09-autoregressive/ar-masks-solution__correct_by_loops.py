def made_masks(D, degrees):
    layers = [list(range(1, D + 1)), *[m.tolist() for m in degrees]]
    masks = [
        torch.tensor([[float(to >= start) for start in before] for to in after])
        for before, after in zip(layers, layers[1:])
    ]
    return [*masks, torch.tensor([[float(to > start) for start in layers[-1]] for to in layers[0]])]
