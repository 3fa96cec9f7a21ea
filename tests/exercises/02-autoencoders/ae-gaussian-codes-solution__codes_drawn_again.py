def gaussian_codes(codes, n):
    return codes[torch.randint(len(codes), (n,))]
