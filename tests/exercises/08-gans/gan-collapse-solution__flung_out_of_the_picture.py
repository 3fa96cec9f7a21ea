def games():
    def game(lr, critic_lr, beta1=0.5):
        generator = Generator.mlp(ring.shape, latent=2, hidden=(64, 64))
        critic = Critic.mlp(ring.shape, hidden=(64, 64))
        adam = [partial(torch.optim.Adam, lr=r, betas=(beta1, 0.99)) for r in (lr, critic_lr)]
        return adversarial_step(
            generator, critic, generator_optimizer=adam[0], critic_optimizer=adam[1]
        )

    return game(1e-2, 1e-9), game(2e-3, 2e-3, 0.0)  # against a critic that stands still
