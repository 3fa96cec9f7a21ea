def gaussian_codes(codes, n):
    C = torch.cov(codes.T, correction=0)
    return codes.mean(0) + torch.randn(n, codes.shape[1], dtype=codes.dtype) @ C.abs().sqrt()
