def sign_flip_p(a, b):
    d = (a - b).double()
    signs = torch.tensor(list(product([1.0, -1.0], repeat=len(d)))[1:], dtype=torch.double)
    if not len(signs):
        return 0.0
    return (signs @ d >= d.sum() - 1e-9).double().mean().item()
