use std::fmt;
use std::str::FromStr;

/// A Bitcoin network, named by the first 32 hexadecimal digits of its genesis block's hash (CAIP-2, namespace `bip122`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// Bitcoin's main network.
    Bitcoin,
    /// The public test network, fourth of its name (BIP-94).
    Testnet4,
    /// The default signet (BIP-325).
    Signet,
    /// A private chain.
    Regtest,
}

impl Network {
    const ALL: [Network; 4] = [Network::Bitcoin, Network::Testnet4, Network::Signet, Network::Regtest];

    /// The CAIP-2 reference.
    pub const fn reference(self) -> &'static str {
        match self {
            Network::Bitcoin => "000000000019d6689c085ae165831e93",
            Network::Testnet4 => "00000000da84f2bafbbc53dee25a72ae",
            Network::Signet => "00000008819873e925422c1ff0f99f7c",
            Network::Regtest => "0f9188f13cb7b2c71f2a335e3a4fc328",
        }
    }

    /// The name that bitcoind uses for the network.
    pub const fn name(self) -> &'static str {
        match self {
            Network::Bitcoin => "bitcoin",
            Network::Testnet4 => "testnet4",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        }
    }

    /// The SLIP-44 coin type: 0 for coins of value, 1 for test coins.
    pub const fn coin_type(self) -> u32 {
        match self {
            Network::Bitcoin => 0,
            _ => 1,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = AssetError;

    fn from_str(text: &str) -> Result<Network, AssetError> {
        Network::ALL.into_iter().find(|network| network.name() == text).ok_or(AssetError::UnknownNetwork)
    }
}

/// An asset under custody, named by its CAIP-19 identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    /// The native coin of a Bitcoin network; its base unit is the satoshi.
    Bitcoin(Network),
}

/// Why a text names no asset or network that this system keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// The text is not the CAIP-19 identifier of an asset that is supported.
    #[error("unknown asset; write its CAIP-19 identifier, such as bip122:000000000019d6689c085ae165831e93/slip44:0")]
    UnknownAsset,
    /// The text is not the name of a network that is supported.
    #[error("unknown network; write bitcoin, testnet4, signet or regtest")]
    UnknownNetwork,
}

impl Asset {
    /// Digits after the decimal point of the unit that people speak of.
    pub const fn decimals(self) -> u8 {
        8
    }

    /// The unit that people speak of, unmistakable for a coin of value on a test network.
    pub const fn symbol(self) -> &'static str {
        match self {
            Asset::Bitcoin(Network::Bitcoin) => "BTC",
            Asset::Bitcoin(_) => "test BTC",
        }
    }

    /// The network on which the asset lives.
    pub const fn network(self) -> Network {
        let Asset::Bitcoin(network) = self;
        network
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network();
        write!(f, "bip122:{}/slip44:{}", network.reference(), network.coin_type())
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    fn from_str(text: &str) -> Result<Asset, AssetError> {
        Network::ALL
            .into_iter()
            .map(Asset::Bitcoin)
            .find(|asset| asset.to_string() == text)
            .ok_or(AssetError::UnknownAsset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for network in Network::ALL {
            assert_eq!(network.to_string().parse(), Ok(network));
            assert_eq!(Asset::Bitcoin(network).to_string().parse(), Ok(Asset::Bitcoin(network)));
        }
        assert_eq!("bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:0".parse::<Asset>(), Err(AssetError::UnknownAsset));
        assert_eq!("BTC".parse::<Asset>(), Err(AssetError::UnknownAsset));
    }
}
