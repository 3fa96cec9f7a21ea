def stack(split, classes, latent, updates):
    vae = VAE.mlp(split.images.shape[1:], latent=latent, hidden=(32,))
    model = M2.mlp((latent,), classes=classes, latent=2, hidden=(32,), likelihood=heads.Normal)
    mixed = MixedBatches(split, 64, 16, binarize="dynamic")

    def second(model, x, y):
        return m2(model, x, y, alpha=10, labelled_share=mixed.share)

    def climb(model, objective, batch_of):
        optimizer, done = torch.optim.Adam(model.parameters(), lr=5e-3), 0
        while done < updates:
            for x, y in mixed:
                optimizer.zero_grad()
                (-objective(model, *batch_of(x, y)).mean()).backward()
                optimizer.step()
                done += 1

    climb(vae, elbo, lambda x, y: (x,))
    vae.requires_grad_(False)
    climb(model, second, lambda x, y: (vae.posterior(x).sample(), y))
    return vae, model
