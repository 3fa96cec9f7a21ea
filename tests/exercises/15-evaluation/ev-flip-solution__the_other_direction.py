def sign_flip_p(a, b):
    d = (a - b).double()
    signs = torch.tensor(list(product([1.0, -1.0], repeat=len(d))), dtype=torch.double)
    return (signs @ d <= d.sum() + 1e-9).double().mean().item()
