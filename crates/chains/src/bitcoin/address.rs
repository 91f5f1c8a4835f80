use bitcoin::address::{Address, NetworkUnchecked};
use bitcoin::{KnownHrp, Script, ScriptBuf};
use types::Network;

/// Why a text is not an address that can be paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an address at all, or one with a typing error.
    #[error("not a Bitcoin address: {0}; check that every character was copied")]
    Form(String),
    /// An address of another network.
    #[error("this address does not belong to the network {expected}; ask for one that does")]
    WrongNetwork {
        /// The network of the wallet.
        expected: Network,
    },
    /// An address spelled otherwise than the chain's own notation spells it.
    #[error("write the address as {0}")]
    Spelling(String),
}

pub(crate) const fn chain(network: Network) -> bitcoin::Network {
    match network {
        Network::Bitcoin => bitcoin::Network::Bitcoin,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    }
}

pub(crate) fn human_part(network: Network) -> KnownHrp {
    KnownHrp::from(chain(network))
}

/// The address that a script pays, in the chain's notation; none for a script that has no address.
pub fn address_of(script: &Script, network: Network) -> Option<String> {
    Address::from_script(script, chain(network)).ok().map(|address| address.to_string())
}

/// Reads an address of `network` and returns the script that pays it. One address has one accepted spelling.
pub fn parse_address(text: &str, network: Network) -> Result<ScriptBuf, AddressError> {
    let unchecked: Address<NetworkUnchecked> = text.parse().map_err(|error| AddressError::Form(format!("{error}")))?;
    let address =
        unchecked.require_network(chain(network)).map_err(|_| AddressError::WrongNetwork { expected: network })?;
    let spelled = address.to_string();
    if spelled == text { Ok(address.script_pubkey()) } else { Err(AddressError::Spelling(spelled)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_networks_are_named() {
        // BIP-173's P2WPKH examples for main and test networks.
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let test = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
        assert!(parse_address(main, Network::Bitcoin).is_ok());
        assert_eq!(
            parse_address(main, Network::Regtest),
            Err(AddressError::WrongNetwork { expected: Network::Regtest })
        );
        assert_eq!(
            parse_address(test, Network::Bitcoin),
            Err(AddressError::WrongNetwork { expected: Network::Bitcoin })
        );
        assert_eq!(parse_address(&main.to_uppercase(), Network::Bitcoin), Err(AddressError::Spelling(main.to_owned())));
        assert!(matches!(
            parse_address("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", Network::Bitcoin),
            Err(AddressError::Form(_))
        ));
        assert!(matches!(parse_address("", Network::Bitcoin), Err(AddressError::Form(_))));
    }
}
