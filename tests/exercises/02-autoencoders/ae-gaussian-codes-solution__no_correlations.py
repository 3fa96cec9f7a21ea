def gaussian_codes(codes, n):
    return codes.mean(0) + codes.std(0, correction=0) * torch.randn(
        n, codes.shape[1], dtype=codes.dtype
    )
